"""The contract for others: JSON Schema, AsyncAPI and golden examples.

In: the structs and topics. Out: the files under `schemas/json` and `asyncapi.json`. Begin at
`json_schema.py`.
"""
