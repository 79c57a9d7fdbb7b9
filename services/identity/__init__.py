"""Identity: who a buyer is. Accounts, passwords, access tokens and rotating refresh tokens."""
