"""The only package that uses FastAPI, Starlette and uvicorn, apart from routers and dependencies: HTTP."""
