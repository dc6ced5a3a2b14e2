"""The stages: plain callables over shards. Only `executors` and `answering` know Ray."""
