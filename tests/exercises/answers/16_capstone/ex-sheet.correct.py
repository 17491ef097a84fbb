# Long answers, one of which says what is not known.
sheet = dict.fromkeys(
    ("what", "made", "chosen", "people", "objects", "faults", "use"),
    "This could not be found out any more, because nobody wrote it down at the time.",
)
