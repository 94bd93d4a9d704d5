"""FAMILY: machines that files are on and commands run on."""
