"""The only package that Tollbook's services share: event contracts, topics, money and the wire models between services."""
