"""`make bench`: what the service costs beside a hand-written ASGI function that calls asyncpg."""
