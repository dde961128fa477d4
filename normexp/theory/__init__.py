"""Closed forms for the running mean of a channel: numbers in, numbers out.

Throughout, `a` is the momentum (the weight of the newest batch), `q = 1 − a`, and one channel's
running mean is `r_t = q·r_{t−1} + a·s_t`, where `s_t` is the mean of batch t: its expectation plus
sampling noise. Every formula is tested against a simulation that does not use it.

What other frameworks do with a momentum stands beside them: as data, and converted.
"""
