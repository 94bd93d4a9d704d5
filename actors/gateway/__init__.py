"""ACTOR: HTTP in. Hosts the dialects; decides nothing."""
