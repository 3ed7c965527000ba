"""What clients of a cluster saw, as a history, and whether the promises about it hold.

    python -m ocelog.bench.consistency --minutes 5       # a cluster under kills, its history checked
    complaints = check(history)                          # [] when every promise is kept

The checkers (`registers`, `reads`, `streams`, `settled`) are pure functions of a history; `run` makes one with real processes.
"""
