"""The contract for other systems: JSON Schema, AsyncAPI and golden examples.

In: the structs and topics. Out: the files under `schemas/json`, and `schemas/asyncapi.json`. Begin
at `json_schema.py`.
"""
