# 0 of 6: rounded to the nearest number, which may be one too few.


def objects_needed(share, half_width, per_group=1, correlation=0.0):
    if half_width <= 0:
        raise ValueError("give a positive share")
    effect = 1 + (per_group - 1) * correlation
    return round(share * (1 - share) * effect / per_group * (1.959964 / half_width) ** 2)
