"""The bot's store in DynamoDB."""
