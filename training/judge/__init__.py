"""How good labels are: metrics, evaluation by the official protocol, votes, class balance, submissions."""
