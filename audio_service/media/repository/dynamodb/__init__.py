"""The DynamoDB adapter: one table, shared by any number of processes on any number of machines."""
