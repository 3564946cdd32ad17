"""One workspace talking to one CRM: the room that both doors (`consumer`, `producer_api`) share."""
