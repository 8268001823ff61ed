"""Asset records in the library's table in DynamoDB."""
