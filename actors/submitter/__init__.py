"""ACTOR: takes jobs to their sites and reports what becomes of them."""
