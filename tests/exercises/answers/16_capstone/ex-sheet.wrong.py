# 0 of 2: one question in a few words.
sheet = dict.fromkeys(
    ("what", "made", "chosen", "people", "objects", "faults", "use"),
    "An answer that is long enough to say something about the pictures.",
) | {"people": "None."}
