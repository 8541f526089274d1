"""Which phase each lateral hangs on."""
