"""What a run is made of: its rows as planned, and the tables that they become."""
