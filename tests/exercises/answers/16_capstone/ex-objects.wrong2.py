# 3 of 6: an interval without width is asked for, and the division fails.


def objects_needed(share, half_width, per_group=1, correlation=0.0):
    effect = 1 + (per_group - 1) * correlation
    return math.ceil(share * (1 - share) * effect / per_group * (1.959964 / half_width) ** 2)
