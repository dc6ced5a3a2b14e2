"""Who answers the questions of an expansion: one file per backend."""
