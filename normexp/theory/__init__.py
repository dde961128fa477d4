"""What theory says of running statistics: closed forms, numbers in, numbers out.

Throughout, `a` is the momentum (the weight of the newest batch), `q = 1 − a`, and one channel's
running statistic is `r_t = q·r_{t−1} + a·s_t`, where `s_t` is batch t's own statistic: its
expectation plus sampling noise. Every formula is tested against a simulation that knows none.
"""
