"""A Salesforce and a HubSpot on localhost, for the demo and the tests.

It stands for two outside systems and therefore imports nothing of the product. One origin serves both:

* ``{origin}/salesforce`` is the login host and, in token replies, the ``instance_url``;
* ``{origin}/hubspot`` is both ``app.hubspot.com`` and ``api.hubapi.com``;
* ``{origin}/_sandbox`` is the control API: switches, stored records, journal, counters (see ``sandbox.control``).

Everything is kept in memory. Credentials, people and companies in it are made up.
"""
