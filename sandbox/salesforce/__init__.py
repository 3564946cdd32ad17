"""The simulated Salesforce: OAuth, sObject Collections, SOQL, describe; API paths under ``/salesforce``."""
