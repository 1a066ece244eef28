"""The table of roles and permissions, written out once more by hand, and the rules around it."""

from typing import get_args

import pytest
from pydantic import ValidationError

from schemas.access import (
    ACCOUNT_ROLES,
    ALL,
    INSTALLATION_ROLES,
    PERMISSIONS,
    ROOT,
    Grant,
    Introspection,
    Permission,
    Principal,
    Role,
    Verdict,
    is_access_token,
    refusal,
)
from tests.access_table import COLUMNS, ROWS


def holder(role: Role, account_id: str = "acc_own") -> Principal:
    grant = Grant(role=role, account_id=account_id if role in ACCOUNT_ROLES else None)
    return Principal(user_id="usr_1", name="Ada", grants=(grant,))


def test_the_table_names_every_permission_and_every_role() -> None:
    assert set(ROWS) == set(PERMISSIONS)
    assert set(COLUMNS) == set(get_args(Role)) == ACCOUNT_ROLES | INSTALLATION_ROLES


@pytest.mark.parametrize("permission", PERMISSIONS)
@pytest.mark.parametrize("role", COLUMNS)
def test_a_role_allows_what_the_table_says_in_its_own_account_in_others_and_in_the_installation(
    role: Role, permission: Permission
) -> None:
    mark = ROWS[permission][COLUMNS.index(role)]
    principal = holder(role)
    assert principal.may(permission, "acc_own") is (mark != ".")
    assert principal.may(permission, "acc_other") is (mark == "x")
    assert principal.may(permission, None) is (mark == "x")
    assert principal.accounts_with(permission) == {"x": ALL, "o": frozenset({"acc_own"}), ".": frozenset()}[mark]


@pytest.mark.parametrize("permission", PERMISSIONS)
def test_root_may_do_everything_and_a_user_without_a_role_nothing(permission: Permission) -> None:
    nobody = Principal(user_id="usr_2", name="Nobody")
    for account_id in ("acc_own", None):
        assert ROOT.may(permission, account_id)
        assert not nobody.may(permission, account_id)
    assert ROOT.accounts_with(permission) is ALL
    assert nobody.accounts_with(permission) == frozenset()


def test_whoever_has_no_role_in_an_account_does_not_learn_that_it_exists() -> None:
    member = holder("member")
    assert member.verdict("key.write", "acc_own") is Verdict.ALLOWED
    assert member.verdict("freeze", "acc_own") is Verdict.REFUSED
    assert member.verdict("key.read", "acc_other") is Verdict.UNKNOWN
    assert member.verdict("price.read", None) is Verdict.REFUSED
    assert holder("on-call").verdict("key.write", "acc_other") is Verdict.REFUSED


def test_roles_in_several_accounts_stay_apart() -> None:
    grants = (Grant(role="owner", account_id="acc_a"), Grant(role="member", account_id="acc_b"))
    principal = Principal(user_id="usr_1", name="Ada", grants=grants)
    assert principal.accounts_with("key.write") == frozenset({"acc_a", "acc_b"})
    assert principal.accounts_with("freeze") == frozenset({"acc_a"})
    assert principal.verdict("freeze", "acc_b") is Verdict.REFUSED


@pytest.mark.parametrize("role", sorted(ACCOUNT_ROLES))
def test_an_owner_gives_the_roles_of_the_own_account_alone(role: Role) -> None:
    owner = holder("owner")
    assert owner.may_give(Grant(role=role, account_id="acc_own"))
    assert not owner.may_give(Grant(role=role, account_id="acc_other"))


@pytest.mark.parametrize("role", sorted(INSTALLATION_ROLES))
def test_only_an_operator_gives_roles_of_the_installation(role: Role) -> None:
    grant = Grant(role=role)
    assert holder("operator").may_give(grant)
    assert ROOT.may_give(grant)
    assert not any(holder(other).may_give(grant) for other in COLUMNS if other != "operator")


@pytest.mark.parametrize(
    ("role", "account_id"), [("owner", None), ("member", None), ("billing", None), ("operator", "acc_1"), ("on-call", "acc_1")]
)
def test_a_role_counts_where_it_belongs_alone(role: Role, account_id: str | None) -> None:
    with pytest.raises(ValidationError, match=f"the role {role} takes"):
        Grant(role=role, account_id=account_id)


def test_a_refusal_names_the_permission_and_who_has_it() -> None:
    assert "budget.write" in refusal("budget.write")
    assert refusal("budget.write").endswith("ask for the role operator, owner or billing.")
    assert refusal("price.write").endswith("ask for the role operator.")


def test_an_answer_about_a_token_reads_back_as_the_principal() -> None:
    said = b'{"active":true,"user_id":"usr_1","name":"Ada","grants":[{"role":"owner","account_id":"acc_own"}],"later":1}'
    assert Introspection.model_validate_json(said).principal() == holder("owner")
    assert Introspection.model_validate_json(b'{"active":false}').principal() is None


def test_an_author_is_the_id_with_the_name_and_fits_where_authors_are_written() -> None:
    assert holder("owner").author == "usr_1 (Ada)"
    assert len(Principal(user_id="usr_1", name="A" * 200).author) == 128


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tbu-" + "a" * 12 + "-" + "B" * 49, True),
        ("tbu-" + "a" * 12 + "-" + "B" * 48, False),
        ("tbu-" + "a" * 12 + "-" + "B" * 49 + "\n", False),
        ("sk-tb-" + "a" * 12 + "-" + "B" * 49, False),
        ("", False),
    ],
)
def test_only_what_has_a_tokens_form_is_asked_about(text: str, expected: bool) -> None:
    assert is_access_token(text) is expected
