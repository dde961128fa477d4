"""Whether numbers can be trusted: verify, reproduce, why, doctor."""
