"""`tollbook init`: the first account, key, money, prices and routes, by questions or flags, as often as one likes."""
