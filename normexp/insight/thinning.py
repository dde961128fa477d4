"""Which of many points are shown."""


def evenly(number: int, most: int) -> list[int]:
    """Positions of so many points, or at most `most` of them at equal distances, both ends kept."""
    if number <= most:
        return list(range(number))
    return sorted({round(i * (number - 1) / max(1, most - 1)) for i in range(most)})
