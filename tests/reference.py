"""The example of the reference that several tests begin with: the answer of "Get Rules"."""

RULES = b"""[
    {
        "_id": "64ca685a833073c6b41b15f3",
        "created_at": "2024-02-01T00:00:00.000",
        "name": "Block Free Users who Exceeded their Monthly Quota",
        "block": true,
        "type": "user",
        "variables": [
            {"name": "0", "path": "body.plan_name"},
            {"name": "1", "path": "body.quota_amount"}
        ],
        "regex_config": [],
        "response": {
            "status": 429,
            "headers": {"X-Rate-Limit-Month": "{{1}}"},
            "body": {
                "error_code": "too_many_requests",
                "message": "You exceeded your monthly quota of {{1}} for the {{0}} plan. Please upgrade your plan."
            }
        }
    }
]"""
