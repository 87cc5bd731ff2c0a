"""What knows FastAPI, Starlette and uvicorn: how HTTP comes in and goes out."""
