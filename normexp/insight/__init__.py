"""What stored trainings say of their running statistics: what is off, and what is best."""
