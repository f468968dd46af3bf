opsh help
opsh help exit-codes
opsh help run
opsh verify --help
opsh --version
