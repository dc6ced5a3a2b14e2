"""The stages: plain callables over shards. Only `pipeline` and `write` know Ray."""
