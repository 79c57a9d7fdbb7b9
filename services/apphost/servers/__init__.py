"""The servers that the shop stands on, each as parts that run on loopback, with all their state in one folder."""
