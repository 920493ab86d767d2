"""Grids of training runs, their statistics and reports."""
