"""Trust in numbers: verify, reproduce, why, diff, doctor."""
