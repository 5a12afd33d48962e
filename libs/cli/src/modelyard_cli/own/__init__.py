"""Commands about models that were made elsewhere: scan and register."""
