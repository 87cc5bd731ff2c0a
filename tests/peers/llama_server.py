"""A program for the environment of the models: `python llama_server.py MODEL CONTEXT KEY [PORT] [SCHEMA]`.

It runs llama.cpp's own server, which xllamacpp carries, and prints its address. With a JSON Schema every answer is of
that form.
"""

import sys
import threading

import xllamacpp


def main(model: str, context: str, key: str, port: str = "0", schema: str = "") -> None:
    params = xllamacpp.CommonParams()
    params.model.path = model
    params.model_alias = {"local"}
    params.hostnames = ["127.0.0.1"]
    params.port = int(port)
    params.api_keys = [key]
    # Tokens, for prompt and answer together.
    params.n_ctx = int(context)
    params.n_parallel = 1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    # One question has one answer.
    params.sampling.temp = 0
    params.endpoint_slots = True
    if schema:
        grammar = params.sampling.grammar
        grammar.type = xllamacpp.common_grammar_type.COMMON_GRAMMAR_TYPE_USER
        grammar.grammar = xllamacpp.json_schema_to_grammar(schema)
        params.sampling.grammar = grammar
    server = xllamacpp.Server(params)
    print(f"listening on {server.listening_address}", flush=True)
    threading.Event().wait()


main(*sys.argv[1:])
