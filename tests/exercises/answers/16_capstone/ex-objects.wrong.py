# 0 of 6: every picture counts as an object, whatever the correlation.


def objects_needed(share, half_width, per_group=1, correlation=0.0):
    if half_width <= 0:
        raise ValueError("give a positive share")
    return math.ceil(share * (1 - share) * (1.959964 / half_width) ** 2 / per_group)
