"""Router: plans the route of a request, holds the money, calls the provider, and writes down every step."""
