"""The demo: every real part on this machine, from two sandbox CRMs to the last result event, and a check of it all."""
