"""The wire contract: events, outputs, topics, codecs and errors."""
