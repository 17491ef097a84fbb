# 0 of 4: the margin in points where a share is asked for.
claim = {
    "sentence": "On mugs from one kitchen a linear probe beats six colour numbers by more than five points.",
    "challenger": Recipe(data="own", train_part="probe"),
    "baseline": Recipe(data="own", model="colour-numbers"),
    "margin": 5,
    "expected": 6,
}
