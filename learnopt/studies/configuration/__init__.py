"""Which switches are open: choice of engine, operations, risk, balance, limits that are held, the switching order."""
