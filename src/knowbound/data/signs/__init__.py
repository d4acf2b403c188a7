"""Traffic signs (Tsinghua-Tencent 100K) and road backgrounds -> Sources and splits."""
