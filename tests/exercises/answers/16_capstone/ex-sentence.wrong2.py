# 0 of 4: both recipes are the same, and only the seed differs.
claim = {
    "sentence": "On mugs from one kitchen the second training beats the first one by more than five points.",
    "challenger": Recipe(data="own", train_part="probe", seed=1),
    "baseline": Recipe(data="own", train_part="probe", seed=0),
    "margin": 0.05,
    "expected": 6,
}
