"""`python -m deploy.local.demo`: bring the stack up and tell the story. Exit 0, or 1 with what went wrong."""

import sys

from rich.console import Console

from deploy.local.demo.admin import Admin, DemoError
from deploy.local.demo.story import tell
from deploy.local.errors import StackError
from deploy.local.home import read_json
from deploy.local.progress import Progress
from deploy.local.stack import Stack


def main() -> int:
    """Run the demo against the default home's stack."""
    console = Console(soft_wrap=True)
    stack = Stack(progress=Progress(console))
    if not stack.home.path.exists():
        console.print("The first start fetches Kafka and makes the databases: it takes longer than every later one.")
    try:
        stack.up()
        tell(Admin(read_json(stack.home.stack_file)), console, stack.home.stack_file)
    except (DemoError, StackError) as error:
        console.print(f"[bold red]The demo failed:[/bold red] {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
