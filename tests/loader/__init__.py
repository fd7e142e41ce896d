"""Traps: one small tree per rule of the dynamic loaders, run by the real ones and by the simulation."""
