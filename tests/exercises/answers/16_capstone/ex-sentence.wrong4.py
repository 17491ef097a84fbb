# 0 of 4: the expected difference as a share, where points are asked for.
claim = {
    "sentence": "On mugs from one kitchen a linear probe beats six colour numbers by more than five points.",
    "challenger": Recipe(data="own", train_part="probe"),
    "baseline": Recipe(data="own", model="colour-numbers"),
    "margin": 0.05,
    "expected": 0.12,
}
