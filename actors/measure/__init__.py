"""What the stages of a config cost, measured one after the other with one stage's weights in memory."""
